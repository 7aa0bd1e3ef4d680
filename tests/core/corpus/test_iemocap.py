"""IEMOCAP: its evaluation files and what lies beside them, four classes or all, folds by session."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus import iemocap
from sertool.core.corpus.build import build
from sertool.core.corpus.check import check
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.splits import SplitChoice, choose
from sertool.core.errors import InputError

HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
BLOCK = """[{start:.4f} - {end:.4f}]\t{name}\t{code}\t[{valence}, {arousal}, {dominance}]
{observers}
C-{self}1:\tAnger;\t()
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  3;\t(mostly voice)
A-{self}1:\tval 3; act 2; dom  1;\t()

"""


def block(number, name, code, words=("Neutral;", "Neutral;", "Neutral;"), vad=("2.5000", "3.0000", "2.0000")):
    observers = "\n".join(f"C-E{2 + rater}:\t{word}\t()" for rater, word in enumerate(words))
    valence, arousal, dominance = vad
    return BLOCK.format(
        **{"start": number, "end": number + 0.5, "name": name, "code": code, "observers": observers},
        **{"valence": valence, "arousal": arousal, "dominance": dominance, "self": name[5]},
    )


def dialogue(folder, session, name, blocks, *, audio=True):
    base = folder / f"Session{session}"
    path = base / "dialog" / "EmoEvaluation" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((HEAD + "".join(block(n, *parts) for n, parts in enumerate(blocks))).encode("latin-1"))
    for utterance, *_ in blocks if audio else ():
        wav(base / "sentences" / "wav" / name / f"{utterance}.wav")
    return base


def wav(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(list(path.stem.encode())).normal(0, 0.1, 160)
    soundfile.write(path, samples, 16_000)


@pytest.fixture
def corpus(tmp_path):
    """Five sessions; the first with every class and every kind of litter."""
    folder = tmp_path / "IEMOCAP_full_release"
    codes = ["neu", "hap", "exc", "ang", "sad", "fru", "fea", "sur", "dis", "oth", "xxx"]
    blocks = [(f"Ses01F_impro01_{'FM'[n % 2]}{n:03}", code) for n, code in enumerate(codes)]
    blocks[1] += (("Happiness; Excited;", "Happiness;", "Other;\t(amused; truly)"), ("5.5000", "4.6667", "0.5000"))
    base = dialogue(folder, 1, "Ses01F_impro01", blocks)
    dialogue(folder, 1, "Ses01M_script03_2b", [("Ses01M_script03_2b_FXX0", "neu")])
    for session in (2, 3, 4, 5):
        name = f"Ses0{session}F_impro02"
        dialogue(folder, session, name, [(f"{name}_F000", "ang"), (f"{name}_M000", "neu")])
    evaluation = base / "dialog" / "EmoEvaluation"
    (evaluation / "._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    (evaluation / ".DS_Store").write_bytes(b"\x00")
    (evaluation / "Ses01F_impro01.anvil").write_text("<annotation/>")
    for sub in ("Categorical", "Attribute", "Self-evaluation"):
        (evaluation / sub).mkdir()
        (evaluation / sub / "Ses01F_impro01_e2_cat.txt").write_text("Ses01F_impro01_F000 :Neutral state; ()\n")
    wav(base / "dialog" / "wav" / "Ses01F_impro01.wav")  # the whole dialogue is no utterance
    wav(base / "sentences" / "wav" / "Ses01F_impro01" / "._Ses01F_impro01_F000.wav")
    transcript = base / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    transcript.parent.mkdir()
    transcript.write_bytes(
        b"Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\r\n"
        b"Ses01F_impro01_M001 [007.5712-010.4750]:  Do you have your caf\xe9?\r\nM: Wow.\r\n"
    )
    return folder


def named(rows):
    kept = rows[rows["skipped"].isna()]
    return kept.set_index(kept["path"].str.extract(r"([^/]+)\.wav$", expand=False))


def test_four_classes_take_excitement_for_happiness_and_count_the_rest(corpus):
    rows = iemocap.read(corpus)
    kept = named(rows)
    assert kept["emotion"].value_counts().to_dict() == {"neutral": 6, "anger": 5, "happiness": 2, "sadness": 1}
    assert rows["skipped"].value_counts().to_dict() == {
        f"class {code} ({word})": 1
        for code, word in (
            *(("fru", "frustration"), ("fea", "fear"), ("sur", "surprise"), ("dis", "disgust")),
            *(("oth", "other"), ("xxx", "no agreement")),
        )
    }
    assert "votes_excitement" not in rows and kept.loc["Ses01F_impro01_M001", "votes_happiness"] == 2


def test_all_classes_keep_every_utterance(corpus):
    rows = iemocap.read(corpus, classes="all")
    kept = named(rows)
    assert len(kept) == 20 and set(kept["emotion"].dropna()) == set(iemocap.CODES.values())
    assert kept.loc["Ses01F_impro01_F002", "emotion"] == "excitement"
    assert kept.loc[["Ses01F_impro01_M009", "Ses01F_impro01_F010"], "emotion"].isna().all()
    assert (
        "without emotion, attributes and votes kept: class oth (other) 1, xxx (no agreement) 1" in rows.attrs["notes"]
    )


def test_the_speaker_is_who_speaks_not_who_wears_the_markers(corpus):
    kept = named(iemocap.read(corpus, classes="all"))
    assert kept.loc["Ses01F_impro01_M001", ["speaker", "gender"]].tolist() == ["Ses01M", "male"]
    assert kept.loc["Ses01M_script03_2b_FXX0", ["speaker", "gender"]].tolist() == ["Ses01F", "female"]
    assert kept.loc["Ses01M_script03_2b_FXX0", ["session", "dialogue", "kind"]].tolist() == [
        *("Ses01", "Ses01M_script03_2b", "script")
    ]
    assert kept["speaker"].nunique() == 10


def test_observers_vote_and_actors_do_not(corpus):
    kept = named(iemocap.read(corpus, classes="all"))
    votes = kept.loc["Ses01F_impro01_M001", [name for name in kept if name.startswith("votes_")]]
    assert votes[votes > 0].to_dict() == {"votes_happiness": 1.5, "votes_excitement": 0.5, "votes_other": 1.0}
    plain = kept.loc["Ses01F_impro01_F000", votes.index]
    assert plain[plain > 0].to_dict() == {"votes_neutral": 3.0}


def test_attributes_are_rescaled_and_kept_as_they_were(corpus):
    rows = iemocap.read(corpus)
    kept = named(rows)
    plain = kept.loc["Ses01F_impro01_F000"]
    assert plain[["valence", "arousal", "dominance"]].tolist() == [3.25, 4.0, 2.5]
    assert plain[["valence_1_to_5", "arousal_1_to_5", "dominance_1_to_5"]].tolist() == [2.5, 3.0, 2.0]
    odd = kept.loc["Ses01F_impro01_M001"]
    assert odd["valence"] == 7 and odd["dominance"] == 1 and odd["arousal"] == pytest.approx(6.5, abs=1e-3)
    assert odd["valence_1_to_5"] == 5.5
    assert rows.attrs["notes"] == [
        "ratings of dominance outside 1 to 5, held to 1 or 7 when rescaled: 1",
        "ratings of valence outside 1 to 5, held to 1 or 7 when rescaled: 1",
    ]


def test_transcripts_give_the_text(corpus):
    kept = named(iemocap.read(corpus))
    assert kept.loc["Ses01F_impro01_F000", "text"] == "Excuse me."
    assert kept.loc["Ses01F_impro01_M001", "text"] == "Do you have your café?" and kept["text"].notna().sum() == 2
    for path in corpus.rglob("transcriptions/*.txt"):
        path.unlink()
    assert "text" not in iemocap.read(corpus)


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from(sorted(iemocap.WORDS)), max_size=3, unique=True), min_size=1, max_size=6))
def test_every_observer_who_ticks_anything_has_one_vote(tmp_path_factory, raters):
    words = ["".join(f"{word.capitalize()}; " for word in ticked) + ";" for ticked in raters]
    folder = tmp_path_factory.mktemp("iemocap")
    dialogue(folder, 1, "Ses01F_impro01", [("Ses01F_impro01_F000", "neu", words)])
    for classes in ("4", "all"):
        row = iemocap.read(folder, classes=classes).iloc[0]
        votes = pd.to_numeric(row[[name for name in row.index if name.startswith("votes_")]])
        assert votes.sum() == pytest.approx(sum(bool(ticked) for ticked in raters))
        assert votes.isna().all() == (not any(raters))


def test_folds_are_sessions(corpus):
    speakers = [f"Ses0{session}{letter}" for session in range(1, 6) for letter in "FM"]
    for fold in range(5):
        split_of = choose(speakers, {}, SplitChoice(fold=fold), iemocap.PROTOCOL)
        parts = {part: sorted(name for name in speakers if split_of[name] == part) for part in ("test", "dev", "train")}
        assert parts["test"] == [f"Ses0{fold + 1}F", f"Ses0{fold + 1}M"] and len(parts["train"]) == 6
        assert parts["dev"] == [f"Ses0{(fold + 1) % 5 + 1}{letter}" for letter in "FM"]


def test_a_manifest_passes_its_checks(corpus, tmp_path):
    rows = iemocap.read(corpus)
    built = build(rows, tmp_path / "m.csv", protocol=iemocap.PROTOCOL, choice=SplitChoice(), corpus="iemocap")
    manifest = Manifest.read(built.manifest.write(tmp_path / "m.csv").path)
    assert manifest.table["split"].value_counts().to_dict() == {"test": 6, "train": 6, "dev": 2}
    report = check(manifest)
    assert not report.crossing and not report.unreadable
    json.dumps(report.record())


def test_utterances_without_audio_and_audio_without_ratings_are_left_out(corpus):
    folder = corpus / "Session2" / "sentences" / "wav" / "Ses02F_impro02"
    (folder / "Ses02F_impro02_F000.wav").rename(folder / "Ses02F_impro02_F001.wav")
    counts = iemocap.read(corpus)["skipped"].value_counts()
    assert counts["rated, without audio"] == counts["not rated in EmoEvaluation"] == 1


def test_audio_with_another_suffix_is_found(corpus):
    path = corpus / "Session2" / "sentences" / "wav" / "Ses02F_impro02" / "Ses02F_impro02_F000.wav"
    samples, rate = soundfile.read(path)
    soundfile.write(path.with_suffix(".flac"), samples, rate)
    path.unlink()
    assert iemocap.read(corpus)["path"].str.endswith(".flac").sum() == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\tang\t", "\tmad\t", "line 3: the emotion is 'mad'; expected one of ang, hap"),
        (
            "[2.5000, 3.0000, 2.0000]",
            "[2.5000, 3.0000]",
            "line 3: is '.0.0000 - 0.5000.*expected '.start - end. Ses01F",
        ),
        ("Ses02F_impro02_F000", "Ses09F_impro02_F000", "line 3: is "),
        ("Ses02F_impro02_F000", "Ses02F_impro02_M000", "'Ses02F_impro02_M000' is rated twice"),
    ],
)
def test_files_that_are_not_as_published_are_refused(corpus, old, new, words):
    path = corpus / "Session2" / "dialog" / "EmoEvaluation" / "Ses02F_impro02.txt"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        iemocap.read(corpus)


def test_nothing_is_no_corpus(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        iemocap.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no evaluations; expected Session1/dialog/EmoEvaluation"):
        iemocap.read(tmp_path)


def test_words_that_are_not_offered_are_other_and_told_of(corpus):
    path = corpus / "Session2" / "dialog" / "EmoEvaluation" / "Ses02F_impro02.txt"
    path.write_text(path.read_text().replace("C-E2:\tNeutral", "C-E2:\tMeh", 1))
    rows = iemocap.read(corpus)
    assert named(rows).loc["Ses02F_impro02_F000", ["votes_neutral", "votes_other"]].tolist() == [2, 1]
    assert "votes for emotions that observers are not offered, counted as other: 'meh' 1" in rows.attrs["notes"]
