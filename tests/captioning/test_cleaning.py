"""What the words of a caption are, in many scripts, and how much the original's cleaning drops."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.captions import clean_into, read_captions, read_descriptions
from captioning.cleaning import clean, dropped, without_special
from core.errors import InputError

SPACED = {
    "Hindi, with conjuncts that need a joiner": "क्‍षमा नहीं हैं १२ कुत्ते",
    "Bengali": "একটি কুকুর ঘাসের উপর দৌড়াচ্ছে",
    "Arabic, with vowel marks": "كَلْبٌ يَجْرِي عَلَى العُشْبِ",
    "Persian, with a joiner of nothing": "سگ می‌دود",
    "Hebrew, with points": "כֶּלֶב רָץ",
    "Malayalam, with a joiner at the end": "അവന്‍ ഓടുന്നു",
    "Korean": "개가 달린다",
    "Vietnamese": "một con chó chạy trên cỏ",
    "Russian": "собака и кошка",
    "German": "ein großer hund",
}
CUT = {
    "Chinese": ("一只狗，在草地上！", "一 只 狗 在 草 地 上"),
    "Chinese and Latin": ("穿T恤的人2021年 iPhone手机", "穿 t 恤 的 人 2021 年 iphone 手 机"),
    "Japanese": ("タワーの前で、人々が走る。", "タ ワ ー の 前 で 人 々 が 走 る"),
    "Japanese, half as wide": ("ﾊﾞｽ", "ﾊﾞ ｽ"),
    "Thai, with spaces between phrases": ("กำลังวิ่ง น้ำ", "กำ ลั ง วิ่ ง น้ำ"),
    "Lao": ("ໝາ​ແລ່ນ", "ໝ າ ແ ລ່ ນ"),
    "Khmer": ("ខ្មែរ", "ខ្មែ រ"),
    "Burmese": ("ခွေးတစ်ကောင်", "ခွေး တ စ် ကော င်"),
}


@pytest.mark.parametrize("name", SPACED)
def test_natural_keeps_every_word_of_every_script(name):
    text = unicodedata.normalize("NFC", SPACED[name])
    for form in ("NFC", "NFD"):
        written = " ".join(f"«{word}»" for word in unicodedata.normalize(form, text).split())
        assert clean(f"{written} . ؟ ।", "natural") == text


@pytest.mark.parametrize("name", CUT)
def test_text_without_spaces_is_cut_into_characters_with_their_marks(name):
    text, words = CUT[name]
    assert clean(text, "natural") == words
    assert clean(words, "natural") == words


@pytest.mark.parametrize(("text", "words"), [
    ("the dog doesn't look at the man's t-shirt", "the dog doesnt look at the mans tshirt"),
    ("a 3-year-old boy isn’t afraid of the #1 ride", "a 3yearold boy isnt afraid of the 1 ride"),
    ("two men—one in red—ride … “bikes”", "two men one in red ride bikes"),
    ("I ❤️ dogs 👨‍👩‍👧 & cats", "i dogs cats"),
    ("İki köpek", "iki köpek"),
    ("l’été, soft­hyphen", "lété softhyphen"),
    ("A dog ,  runs .", "a dog runs"),
])  # fmt: skip
def test_natural_drops_punctuation_as_the_original_does(text, words):
    assert clean(text, "natural") == words


@given(st.text(st.characters(max_codepoint=127, blacklist_categories=["Cc"])))
def test_natural_then_seed_is_seed(text):
    assert clean(clean(text, "natural")) == clean(text)
    assert clean(text, "natural").split() == [word for word in clean(text, "natural").split() if word.isalnum()]


@given(st.text())
def test_natural_keeps_all_letters_and_is_done_once(text):
    cleaned = clean(text, "natural")
    assert clean(cleaned, "natural") == cleaned
    assert sum(map(str.isalpha, cleaned)) == sum(map(str.isalpha, unicodedata.normalize("NFC", text.lower())))


@pytest.mark.parametrize(("text", "share"), [
    ("A dog runs at 3 , I see .", 0),
    ("it doesn't and it isn’t so", 1 / 6),
    ("कुत्ता दौड़ता है", 1),
    ("一只狗", 1),  # one long word
    ("", 0),
])  # fmt: skip
def test_the_share_that_the_originals_cleaning_drops(text, share):
    assert dropped([[text, text]]) == pytest.approx(share)


def test_a_cleaning_that_drops_more_than_a_tenth_warns(tmp_path, capsys):
    path = tmp_path / "descriptions.txt"
    clean_into(path, {"a": ["A dog runs on 2 legs", "कुत्ता"]}, "seed")
    assert "warning: the original's cleaning drops 20% of the captions' words; give --cleaning natural" in (
        capsys.readouterr().out
    )
    for captions, cleaning in (({"a": ["A dog runs on 2 legs"]}, "seed"), ({"a": ["कुत्ता"]}, "natural")):
        clean_into(path, captions, cleaning)
        assert capsys.readouterr().out.count("\n") == 1
    clean_into(path, {"a": ["一只狗"]}, "natural")
    assert "is cut: each character with its marks is a word" in capsys.readouterr().out
    assert read_descriptions(path) == {"a": ["一 只 狗"]}
    with pytest.raises(InputError, match="found 1 without one, such as 'A dog'"):
        clean_into(path, {"": ["A dog"]}, "seed")


@pytest.mark.parametrize("text", ["startseq A dog endseq", "<s>A dog</s>", "<BOS> A dog <eos>", "<start> A dog <end>"])
def test_special_words_are_taken_off(text, tmp_path, capsys):
    assert without_special(text) == "A dog"
    (tmp_path / "token.txt").write_text(f"a.jpg#0\t{text}\na.jpg#1\tA  start , the end\n")
    assert read_captions(tmp_path / "token.txt") == {"a": ["A dog", "A start , the end"]}
    assert "token.txt: 1 captions had special words, such as startseq or </s>" in capsys.readouterr().out
