const input = document.querySelector("input");
const label = document.querySelector("label");
const answers = document.querySelector("main");
const progress = document.querySelector("output");
const types = input.accept.split(",");
const largest = Number(input.dataset.largest); // bytes

async function caption(photograph) {
  if (!types.includes(photograph.type)) return "expected a JPEG, PNG or WebP file";
  if (photograph.size > largest) return "expected at most " + largest / 1e6 + " MB";
  const question = "caption?name=" + encodeURIComponent(photograph.name);
  const headers = { "Content-Type": photograph.type };
  const answer = await fetch(question, { method: "POST", headers, body: photograph });
  const text = await answer.text();
  if (!answer.ok) return text;
  answers.insertAdjacentHTML("afterbegin", text);
  return answers.querySelector("img").alt;
}

async function show(photographs) {
  for (const photograph of photographs) {
    progress.textContent = photograph.name + " …";
    const said = await caption(photograph).catch(() => "no answer; is 5_test.py still running?");
    progress.textContent = photograph.name + ": " + said;
  }
}

input.onchange = () => show([...input.files]).then(() => (input.value = ""));
document.ondragover = (event) => {
  event.preventDefault();
  label.classList.add("over");
};
document.ondragleave = () => label.classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  label.classList.remove("over");
  show([...event.dataTransfer.files]);
};
