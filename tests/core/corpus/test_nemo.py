"""nEMO: its table, joined to files whose suffix has changed."""

import pytest

from sertool.core.corpus import nemo
from sertool.core.corpus.splits import SplitChoice, choose
from sertool.core.errors import InputError

HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "samples").mkdir()
    for name in ("EB0_anger_1.opus", "SM0_surprised_2.wav", "XX0_anger_3.wav"):
        (tmp_path / "samples" / name).touch()
    rows = [
        "EB0_anger_1.wav\tanger\tŻółw.\tżółw\tEB0\tfemale\t27",
        "SM0_surprised_2.wav\tsurprised\tTak.\ttak\tSM0\tmale\t30",
    ]
    rows.append("SM0_fear_9.wav\tfear\tTak.\ttak\tSM0\tmale\t30")
    (tmp_path / "data.tsv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_rows_find_their_files(corpus):
    rows = nemo.read(corpus)
    used = rows[rows["skipped"].isna()].set_index("speaker")
    assert used.loc["EB0", "path"] == str(corpus / "samples" / "EB0_anger_1.opus")
    assert used.loc["EB0", ["emotion", "gender", "text"]].tolist() == ["anger", "female", "Żółw."]
    assert used.loc["SM0", "emotion"] == "surprised" and len(used) == 2
    assert sorted(rows["skipped"].dropna()) == ["listed, without audio", "not listed in data.tsv"]


def test_without_its_table_it_cannot_be_read(corpus):
    (corpus / "data.tsv").write_text("file_id\temotion\nEB0_anger_1.wav\tanger\n")
    with pytest.raises(InputError, match="no column 'raw_text', but 'file_id', 'emotion'"):
        nemo.read(corpus)
    (corpus / "data.tsv").unlink()
    with pytest.raises(InputError, match=r"data.tsv: no such file"):
        nemo.read(corpus)


def test_a_clip_listed_twice_is_refused(corpus):
    text = (corpus / "data.tsv").read_text(encoding="utf-8")
    (corpus / "data.tsv").write_text(text + text.splitlines()[1] + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="lists 'EB0_anger_1' twice"):
        nemo.read(corpus)


def test_the_real_corpus(shared_data):
    rows = nemo.read(shared_data / "nemo")
    assert len(rows) == 1576 and rows["skipped"].isna().all()
    split_of = choose(rows["speaker"].unique(), {}, SplitChoice(), nemo.PROTOCOL)
    assert {name: split for name, split in split_of.items() if split != "train"} == {
        **{"EB0": "test", "KS0": "test"},
        **{"IC0": "dev", "MP0": "dev"},
    }
    assert len(split_of) == 9 and set(rows["emotion"]) == {
        "anger",
        "fear",
        "happiness",
        "neutral",
        "sadness",
        "surprised",
    }
