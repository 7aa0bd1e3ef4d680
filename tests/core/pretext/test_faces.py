"""The join of speech to faces: every utterance its own face, and nothing taken silently."""

import os
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sertool.core.corpus.manifest import Manifest
from sertool.core.errors import InputError
from sertool.core.pretext.faces import Face, FaceSources


def speech(folder, *names, **columns):
    return Manifest.from_table(pd.DataFrame({"file_name": list(names), **columns}), folder)


def videos(folder, *names):
    """Files that are found by their names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"frame of {name}")
    return folder


def table(path, *clips):
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"clip": clips, "AU12_r": 1.0, "AU12_c": 0.5}).to_csv(path, index=False)
    return path


def refusal(sources, manifests, *words):
    with pytest.raises(InputError) as caught:
        sources.join(manifests)
    message = str(caught.value)
    assert "; expected " in message and "\n" not in message
    for word in words:
        assert str(word) in message
    return message


def test_a_folder_s_files_are_joined_by_their_stems(tmp_path):
    faces = videos(tmp_path / "f", "s1/a.csv", "b.CSV", "c.csv", "a_of_details.txt", "a.avi", ".hidden.csv", "b.hog")
    joined = FaceSources.read([faces]).join([speech(tmp_path, "x/b.wav", "a.flac", "d.wav")])
    assert joined.faces == [Face(faces / "b.CSV", None), Face(faces / "s1" / "a.csv", None), None]
    assert joined.notes[0] == "manifest: utterances with a face: 2 of 3"
    assert joined.notes[1].startswith("faces of no train or dev utterance: 1, such as ")


def test_a_table_s_rows_are_joined_by_their_clips(tmp_path):
    path = table(tmp_path / "t.csv", "c", "a.mp4", "b.take1")
    sources = FaceSources.read([str(path)])
    joined = sources.join([speech(tmp_path, "a.wav", "b.take1.wav", "c.wav")])
    assert joined.faces == [Face(path, 1), Face(path, 2), Face(path, 0)]
    assert joined.notes == ["manifest: utterances with a face: 3 of 3"]
    assert sources.tables[path].keys[joined.faces[0].row] == "a"


def test_a_video_of_ravdess_is_the_face_of_its_audio(tmp_path):
    path = table(tmp_path / "t.csv", "01-01-05-02-01-01-12", "01-01-05-02-01-02-12")
    joined = FaceSources.read([path]).join([speech(tmp_path, "Actor_12/03-01-05-02-01-02-12.wav")])
    assert joined.faces == [Face(path, 1)]


def test_every_real_clip_of_ravdess_finds_its_face(shared_data):
    path, folder = shared_data / "ravdess" / "faces" / "au35_by_clip.csv", shared_data / "ravdess"
    if not path.is_file():
        pytest.skip("no table of RAVDESS's faces")
    names = sorted(str(clip) for clip in folder.glob("Actor_*/03-01-*"))
    sources = FaceSources.read([path])
    joined = sources.join([speech(folder, *names)])
    clips = [sources.tables[path].keys[face.row] for face in joined.faces]
    assert len(clips) == 1440 and all(
        os.path.basename(name)[3:20] == clip[3:] for name, clip in zip(names, clips, strict=True)
    )


def test_the_column_face_file_goes_first(tmp_path):
    faces = videos(tmp_path / "f", "a.csv", "b.csv", "other.csv")
    manifest = speech(tmp_path, "a.wav", "b.wav", "d/b.wav", face_file=["f/other.csv", None, str(faces / "a.csv")])
    joined = FaceSources.read([faces]).join([manifest])
    assert joined.faces == [Face(faces / "other.csv", None), Face(faces / "b.csv", None), Face(faces / "a.csv", None)]
    assert joined.notes == ["manifest: utterances with a face: 3 of 3"]
    assert FaceSources.read([]).join([manifest]).faces == [joined.faces[0], None, joined.faces[2]]
    rebased = FaceSources.read([faces]).join([manifest.rebased(tmp_path / "d")])
    assert rebased.faces == joined.faces


def test_manifests_are_joined_in_order_and_counted_one_by_one(tmp_path):
    faces = videos(tmp_path / "f", "a.csv", "b.csv")
    first = Manifest.from_table(
        pd.DataFrame({"file_name": ["a.wav", "b.wav", "c.wav"]}), tmp_path, path=tmp_path / "1.csv"
    )
    second = Manifest.from_table(pd.DataFrame({"file_name": ["d.wav"]}), tmp_path, path=tmp_path / "2.csv")
    part = first.table["file_name"] != "b.wav"
    joined = FaceSources.read([faces]).join([first.where(part), second, second.where([False]), first.where(~part)])
    assert joined.faces == [Face(faces / "a.csv", None), None, None, Face(faces / "b.csv", None)]
    assert joined.notes == [
        f"{tmp_path / '1.csv'}: utterances with a face: 2 of 3",
        f"{tmp_path / '2.csv'}: utterances with a face: 0 of 1",
    ]


def test_nothing_is_joined_to_nothing(tmp_path):
    faces = videos(tmp_path / "f", "a.csv")
    assert FaceSources.read([faces]).join([]).faces == []
    assert FaceSources.read([faces]).join([speech(tmp_path, "x.wav").where([False])]).faces == []


@settings(max_examples=30)
@given(st.data())
def test_order_of_sources_and_utterances_does_not_matter(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("order")
    stems = data.draw(st.lists(st.text("abAB01-", min_size=1, max_size=4), min_size=1, max_size=8, unique=True))
    halves = [stems[::2], stems[1::2]]
    sources = [videos(folder / "f", *(f"{stem}.csv" for stem in halves[0]))]
    sources += [table(folder / "t.csv", *halves[1])] if halves[1] else []
    order = data.draw(st.permutations([*stems, "stranger"]))
    manifest = speech(folder, *(f"{number}/{stem}.wav" for number, stem in enumerate(order)))
    joined = FaceSources.read(data.draw(st.permutations(sources))).join([manifest])
    for stem, face in zip(order, joined.faces, strict=True):
        if stem in halves[0]:
            assert face == Face(folder / "f" / f"{stem}.csv", None)
        else:
            assert face == (Face(folder / "t.csv", halves[1].index(stem)) if stem in halves[1] else None)


def test_a_key_of_another_make(tmp_path):
    faces = videos(tmp_path / "f", "cam1_take07_face.csv", "cam1_take08_face.csv", "notes.csv")
    manifest = speech(tmp_path, "mic_take08.wav", "mic_take09.wav", "noise.wav")
    joined = FaceSources.read([faces], key=r"take(\d+)").join([manifest])
    assert joined.faces == [Face(faces / "cam1_take08_face.csv", None), None, None]
    unused, nameless = joined.notes[1:]
    assert unused == f"faces of no train or dev utterance: 1, such as {faces / 'cam1_take07_face.csv'}"
    assert nameless == r"without a key by 'take(\d+)': 1 utterances, 1 faces"
    with pytest.raises(InputError, match="no regular expression"):
        FaceSources.read([faces], key="take(")


def test_keys_are_compared_letter_by_letter(tmp_path):
    faces = videos(tmp_path / "f", "a.csv", "A.csv")
    assert FaceSources.read([faces]).join([speech(tmp_path, "A.wav")]).faces == [Face(faces / "A.csv", None)]


def test_two_faces_of_one_key_are_named(tmp_path):
    faces = videos(tmp_path / "f", "01-01-05-02-01-01-12.csv", "02-01-05-02-01-01-12.csv")
    manifests = [speech(tmp_path, "03-01-05-02-01-01-12.wav")]
    refusal(FaceSources.read([faces]), manifests, *sorted(faces.iterdir()), "one modality", "'face_file'")
    path = table(tmp_path / "t.csv", "02-01-05-02-01-01-12")
    refusal(FaceSources.read([path, faces]), manifests, f"{path} (clip '02-01-05-02-01-01-12')")


def test_a_face_found_twice_is_one(tmp_path):
    faces = videos(tmp_path / "f", "s1/a.csv")
    sources = FaceSources.read([faces, faces / "s1", str(faces), f"{faces}/s1/../"])
    assert sources.join([speech(tmp_path, "a.wav")]).faces == [Face(faces / "s1" / "a.csv", None)]
    path = table(tmp_path / "t.csv", "a")
    assert len(FaceSources.read([path, path]).sources) == 1


def test_two_utterances_of_one_face_are_named(tmp_path):
    sources = FaceSources.read([videos(tmp_path / "f", "a.csv")])
    both = tmp_path / "x" / "a.wav", tmp_path / "y" / "a.flac"
    refusal(sources, [speech(tmp_path, "x/a.wav", "b.wav", "y/a.flac")], *both, "'a'", "'face_file'")
    refusal(sources, [speech(tmp_path / "x", "a.wav"), speech(tmp_path / "y", "a.flac")], *both)
    # Without a face the key may be that of both; and where the column says whose face it is.
    assert sources.join([speech(tmp_path, "a.wav", "x/b.wav", "y/b.wav")]).faces[1:] == [None, None]
    told = speech(tmp_path, "x/a.wav", "y/a.flac", face_file=["f/a.csv", "f/a.csv"])
    assert set(sources.join([told]).faces) == {Face(tmp_path / "f" / "a.csv", None)}


def test_one_utterance_may_be_listed_twice(tmp_path):
    sources = FaceSources.read([videos(tmp_path / "f", "a.csv")])
    face = Face(tmp_path / "f" / "a.csv", None)
    first, second = speech(tmp_path, "x/a.wav"), speech(tmp_path / "x", "./a.wav")
    assert sources.join([first, second, first]).faces == [face] * 3
    mixtures = speech(tmp_path, "noisy/0/a.wav", "noisy/5/a.wav", clean_digest=["d1", "d1"])
    assert sources.join([mixtures]).faces == [face] * 2
    refusal(sources, [speech(tmp_path, "noisy/0/a.wav", "noisy/5/a.wav", clean_digest=["d1", "d2"])], "two utterances")
    refusal(sources, [speech(tmp_path, "noisy/0/a.wav", "noisy/5/a.wav", clean_digest=[None, None])], "two utterances")


def test_where_no_utterance_has_a_face_a_key_of_either_side_is_shown(tmp_path):
    faces = videos(tmp_path / "f", "video_1.csv")
    manifests = [speech(tmp_path, "audio_1.wav", "audio_2.wav")]
    remedy = "--set pretext.faces.key=REGEX"
    refusal(FaceSources.read([faces]), manifests, "'audio_1' among the utterances", "'video_1' among the faces", remedy)
    refusal(FaceSources.read([faces], key="audio"), manifests, "none by 'audio' among the faces of f", remedy)
    refusal(FaceSources.read([faces], key="video"), manifests, "none by 'video' among the utterances", remedy)
    refusal(FaceSources.read([]), manifests, "no faces were named", "--faces", "'face_file'")


def test_sources_that_are_none(tmp_path):
    (tmp_path / "empty").mkdir()
    videos(tmp_path / "f", "a.csv")
    (tmp_path / "f" / "a.csv").write_text("frame, timestamp, AU12_r, AU12_c\n1, 0, 1, 1\n")
    for source, words in (
        (tmp_path / "nowhere", "no such faces"),
        (tmp_path / "empty", "holds no .csv file"),
        (tmp_path / "f" / "a.csv", "name the folder that the OpenFace files lie in"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            FaceSources.read([source])
        assert str(source) in str(caught.value)


def test_the_identity_is_that_of_contents_and_not_of_places(tmp_path):
    def identity(folder, **columns):
        sources = FaceSources.read([folder / "f", folder / "t.csv", folder / "more" / "t.csv"])
        return sources.join([speech(folder, "a.wav", "b.wav", "c.wav", **columns)]).identity

    for place in ("here", "there"):
        videos(tmp_path / place / "f", "a.csv", "s/b.csv")
        table(tmp_path / place / "t.csv", "c")
        table(tmp_path / place / "more" / "t.csv", "d")
    here = identity(tmp_path / "here")
    assert list(here) == ["faces (f)", "faces (t.csv)", "faces (t.csv, 2)"] and len(set(here.values())) == 3
    assert here == identity(tmp_path / "there")
    named = identity(tmp_path / "there", face_file=["f/s/b.csv", None, None])
    assert {name: named.pop(name) for name in here} == here and list(named) == ["faces (face_file)"]

    os.rename(tmp_path / "there" / "f" / "a.csv", tmp_path / "there" / "f" / "A.csv")
    table(tmp_path / "there" / "t.csv", "c", "e")
    there = identity(tmp_path / "there")
    assert [name for name in here if there[name] != here[name]] == ["faces (f)", "faces (t.csv)"]
    os.rename(tmp_path / "there" / "f" / "A.csv", tmp_path / "there" / "f" / "a.csv")
    assert identity(tmp_path / "there")["faces (f)"] == here["faces (f)"]
    (tmp_path / "there" / "f" / "a.csv").write_text("longer than it was")
    assert identity(tmp_path / "there")["faces (f)"] != here["faces (f)"]
    changed = identity(tmp_path / "there", face_file=["f/s/b.csv", None, "f/none.csv"])
    assert changed["faces (face_file)"] != named["faces (face_file)"]


def test_accents_are_the_same_however_they_are_spelt(tmp_path):
    faces = videos(tmp_path / "f", f"{unicodedata.normalize('NFD', 'colère')}.csv")
    manifest = speech(tmp_path, f"{unicodedata.normalize('NFC', 'colère')}.wav")
    assert FaceSources.read([faces]).join([manifest]).faces != [None]


def test_folders_that_are_linked_are_looked_into(tmp_path):
    videos(tmp_path / "elsewhere", "a.csv")
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "in").symlink_to(tmp_path / "elsewhere")
    assert FaceSources.read([tmp_path / "f"]).join([speech(tmp_path, "a.wav")]).faces != [None]


def test_no_name_is_no_folder():
    with pytest.raises(InputError, match="--faces is empty"):
        FaceSources.read([""])


def test_other_numbers_of_the_same_size_are_another_identity(tmp_path):
    faces = videos(tmp_path / "f", "a.csv")
    before = FaceSources.read([faces]).identity()
    text = (faces / "a.csv").read_text()
    (faces / "a.csv").write_text(text[:-3] + "7\n" + text[-1:])
    assert FaceSources.read([faces]).identity() != before
