"use strict";
const main = document.querySelector("main");
const kinds = main.dataset.marks.split(" ");
const questions = [...main.querySelectorAll("fieldset")];
const storage = "marks " + main.dataset.captions;

let marks = {};
try {
  marks = JSON.parse(localStorage.getItem(storage)) || {};
} catch { /* this browser stores nothing */ }

const markOf = (question) => question.querySelector(":checked")?.value ?? "";

function count() {
  const encoders = [...new Set(questions.map((question) => question.dataset.encoder))];
  const line = (encoder) => {
    const given = questions.filter((question) => question.dataset.encoder === encoder).map(markOf);
    const counts = kinds.map((kind) => given.filter((mark) => mark === kind).length + " " + kind);
    return encoder + ": " + counts.join(", ");
  };
  document.querySelector("output").textContent = encoders.map(line).join("\n");
}

function csv() {
  const header = ["photograph", "encoder", "caption", "mark"];
  const rows = questions.map((question) => {
    const { photograph, encoder, caption } = question.dataset;
    return [photograph, encoder, caption, markOf(question)];
  });
  const cell = (text) => '"' + text.replaceAll('"', '""') + '"';
  return [header, ...rows].map((row) => row.map(cell).join(",") + "\n").join("");
}

main.addEventListener("change", (event) => {
  marks[event.target.name] = event.target.value;
  try {
    localStorage.setItem(storage, JSON.stringify(marks));
  } catch { /* the marks stay until the page is closed */ }
  count();
});

document.querySelector("button").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "marks.csv";
  link.click();
});

for (const radio of main.querySelectorAll("input")) radio.checked = marks[radio.name] === radio.value;
count();
