"""Faults that campaigns of hostile files found, each as the smallest file that showed it."""

import contextlib
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bench import Bench, build
from flac_mutators import block as flac_block
from flac_mutators import bomb, constant_frame, streaminfo
from wav_mutators import FLOAT, chunk, fmt, riff, tone

from sertool.core.audio.blocks import FileSource
from sertool.core.audio.files import audio_info, read_audio, read_audio_native
from sertool.core.corpus.manifest import Manifest
from sertool.core.corpus.mixture_plan import MixtureRequest, open_plan
from sertool.core.corpus.noise import NoiseSet, file_digest
from sertool.core.corpus.snr import SnrChoice
from sertool.core.errors import AudioError, InputError
from sertool.core.models.inference import load
from sertool.core.training.history import History
from sertool.core.training.run import open_run
from sertool.core.training.state import read_counters


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A small corpus, noise, a run, an interrupted run and mixtures."""
    return build(tmp_path_factory.mktemp("mended") / "bench")


def wav(path, *, rate=16_000, channels=1, count=4000):
    path.write_bytes(riff(chunk(b"fmt ", fmt(rate=rate, channels=channels)), chunk(b"data", tone(count))))
    return path


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_a_rate_no_recording_has_is_refused_before_anything_is_resampled(tmp_path, rate):
    path = wav(tmp_path / "a.wav", rate=rate)
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=f"has a rate of {rate} Hz; expected 1000 to 768000"):
            read(path)


@pytest.mark.parametrize("rate", [1000, 768_000])
def test_the_outermost_rates_are_read(tmp_path, rate):
    assert len(read_audio(wav(tmp_path / "a.wav", rate=rate))) == pytest.approx(4000 * 16_000 / rate, abs=2)


def test_more_channels_than_any_array_has_are_refused(tmp_path):
    with pytest.raises(AudioError, match="has 1000 channels; expected at most 128"):
        FileSource(wav(tmp_path / "a.wav", channels=1000))


def test_a_pipe_as_audio_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="is a pipe or a device"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_as_audio_is_refused(name):
    with pytest.raises(AudioError, match="is a pipe or a device"):
        read_audio(name)


def test_a_name_no_file_can_have_is_refused():
    with pytest.raises(AudioError, match="cannot be read"):
        read_audio("x" * 5000 + ".wav")


def test_flac_that_does_not_tell_its_length_is_read_to_its_end(tmp_path):
    """As `flac -c -` writes it to a pipe: libsndfile then speaks of 2**63 - 1 samples."""
    path = tmp_path / "a.flac"
    frames = b"".join(constant_frame(n, channels=1, length=4096, value=7) for n in range(3))
    path.write_bytes(b"fLaC" + flac_block(0, streaminfo(samples=0), last=True) + frames)
    assert audio_info(path).frames == 3 * 4096
    samples, _ = read_audio_native(path)
    assert np.array_equal(samples, np.full((3 * 4096, 1), 7 / 32768, np.float32))


@pytest.mark.parametrize("announced", [None, 0])
def test_a_few_kilobytes_of_flac_that_unpack_to_a_gigabyte_are_refused(tmp_path, announced):
    path = tmp_path / "bomb.flac"
    path.write_bytes(bomb(500, announced=announced))
    assert path.stat().st_size < 25_000
    with pytest.raises(AudioError, match="unpacks to more than 1000 times its"):
        read_audio(path)


def test_an_hour_of_silence_is_no_bomb(tmp_path):
    path = tmp_path / "silence.flac"
    soundfile.write(path, np.zeros(3600 * 16_000, np.int16), 16_000)
    assert audio_info(path).duration_s == 3600


@pytest.mark.parametrize("samples", [2**33, 2**36 - 1])
def test_a_header_that_announces_far_more_than_there_is_costs_no_memory(tmp_path, samples):
    path = tmp_path / "a.flac"
    frame = constant_frame(0, channels=1, length=4096)
    path.write_bytes(b"fLaC" + flac_block(0, streaminfo(samples=samples), last=True) + frame)
    with pytest.raises(AudioError):
        read_audio(path)


def test_gsm_that_cannot_be_wound_back_is_read_or_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(3200) / 5), 8000, subtype="GSM610")
    data = path.read_bytes()
    for at in range(20, 60):
        path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
        with contextlib.suppress(AudioError):
            assert np.isfinite(read_audio(path)).all()


def test_samples_beyond_all_measure_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    data = struct.pack("<4f", 0.0, 1e30, 0.0, 0.0)
    path.write_bytes(riff(chunk(b"fmt ", fmt(FLOAT, bits=32)), chunk(b"data", data)))
    with pytest.raises(AudioError, match=r"samples of up to 1e\+30; expected about -1 to 1"):
        read_audio(path)


def test_floats_at_the_scale_of_integers_are_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(chunk(b"fmt ", fmt(FLOAT, bits=32)), chunk(b"data", struct.pack("<2f", 32767.0, -(2.0**31)))))
    assert read_audio(path).tolist() == [32767.0, -(2.0**31)]


def test_weights_that_lead_to_no_number_give_no_prediction_no_speech_and_no_features(bench):
    import torch

    recognizer = load(bench.run, "cpu")
    with torch.no_grad():
        for parameter in recognizer.model.encoder.parameters():
            parameter.fill_(1e38)
    samples = 0.1 * np.sin(np.arange(8000) / 9).astype(np.float32)
    for use in (recognizer.predict, recognizer.enhance, recognizer.embed):
        with pytest.raises(InputError, match="what the model says is not a number"):
            use(samples, 16_000)


@pytest.mark.parametrize("count", [1, 10, 100])
@pytest.mark.parametrize("options", [{"dry": 0.2}, {"upper_band": "follow"}, {"dry": 0.2, "upper_band": "follow"}])
def test_a_few_samples_at_a_high_rate_are_enhanced_to_as_many(bench, count, options):
    samples = 0.1 * np.sin(np.arange(count) + 1.0).astype(np.float32)
    enhanced = load(bench.run, "cpu").enhance(samples, 768_000, **options)
    assert enhanced.shape == samples.shape and np.isfinite(enhanced).all()


def test_an_empty_recording_has_no_digest(tmp_path):
    (tmp_path / "a.wav").touch()  # as are, by their size, the endless files of /proc
    with pytest.raises(InputError, match="is empty"):
        file_digest(tmp_path / "a.wav")


def request(bench: Bench) -> MixtureRequest:
    return MixtureRequest(
        Manifest.read(bench.manifest).split("test"), NoiseSet.read(bench.noise), SnrChoice(values=(0.0,))
    )


@pytest.fixture
def mixtures(bench, tmp_path):
    """The folder of mixtures of which one is missing."""
    return Path(shutil.copytree(bench.mixtures, tmp_path / "mixed"))


@pytest.mark.parametrize(
    "change",
    [
        {"names": None},
        {"names": [5]},
        {"names": [["a"]]},
        {"names": {"a": 1}},
        {"names": ["../a"]},
        {"names": ["/a"]},
        {"names": [""]},
        {"folders": ["a\0b"]},
        {"folders": 5},
        {"inputs": []},
        {"inputs": {"format": ["flac"]}},
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_plan_of_mixtures_of_another_shape_is_refused(bench, mixtures, change, overwrite):
    plan = json.loads((mixtures / "mix.json").read_text())
    (mixtures / "mix.json").write_text(json.dumps(plan | change))
    with pytest.raises(InputError, match="is not a plan of sertool mix-noise"):
        open_plan(request(bench), mixtures, overwrite=overwrite)


def test_deleting_mixtures_follows_no_link_out_of_their_folder(bench, mixtures):
    (mixtures / "link").symlink_to(bench.keep)
    plan = json.loads((mixtures / "mix.json").read_text())
    (mixtures / "mix.json").write_text(json.dumps(plan | {"folders": ["link"], "names": ["canary"]}))
    with pytest.raises(InputError, match="leads out of"):
        open_plan(request(bench), mixtures, overwrite=True)
    assert (bench.keep / "canary.flac").is_file()


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "5",
        "{}",
        "[" * 10_000,
        '{"row": 0}',
        '{"row": 0, "mixtures": 5}',
        '{"row": [0], "mixtures": []}',
        '{"row": 10000, "mixtures": []}',
        '{"row": 0, "mixtures": [5]}',
        '{"row": 0, "mixtures": [{"file_name": 5, "clean_file": 6}]}',
        '{"row": 0, "mixtures": [{"file_name": "/etc/group", "clean_file": "/etc/group", "snr_db": 0, "gain_db": 0}]}',
        '{"row": 0, "mixtures": []}',
    ],
)
def test_a_line_of_the_journal_that_is_none_of_ours_is_done_again(bench, mixtures, line):
    (mixtures / "mix.jsonl").write_text(f"{line}\n")
    assert open_plan(request(bench), mixtures).done == {}


def test_an_snr_in_the_journal_that_is_no_number_is_measured_again(bench, mixtures):
    before = open_plan(request(bench), mixtures)
    row = next(iter(before.done))
    mixture = before.done[row][0]
    (mixtures / "mix.jsonl").write_text(
        json.dumps({"row": row, "mixtures": [mixture | {"snr_db": float("nan")}]}) + "\n"
    )
    assert open_plan(request(bench), mixtures).done == {}


@pytest.fixture
def unfinished(bench, tmp_path):
    """A run interrupted after its first epoch of two."""
    return Path(shutil.copytree(bench.unfinished, tmp_path / "run"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("counters", "updates"), None),
        (("counters", "updates"), -1),
        (("counters", "epochs"), 10**400),
        (("counters", "sums"), {"emotion": 10**400}),
        (("counters", "best"), "high"),
        (("counters", "best_epoch"), [0]),
        (("files", "model"), "../../secret.safetensors"),
        (("files",), {"model": "a.safetensors"}),
    ],
)
def test_a_state_nobody_can_go_on_from_is_refused(unfinished, path, value):
    state = json.loads((unfinished / "last" / "state.json").read_text())
    holder = state
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (unfinished / "last" / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="is damaged"):
        read_counters(unfinished / "last")


def test_an_optimizer_that_fits_no_weight_is_refused(bench, unfinished):
    from safetensors.torch import load_file, save_file

    from sertool.core.training.loop import train_run
    from sertool.core.training.recipe import read_recipe

    path = next((unfinished / "last").glob("optimizer*"))
    tensors = load_file(path)
    save_file({f"x{name}": tensor for name, tensor in tensors.items()}, path)
    with pytest.raises(InputError, match=r"fits no weight\); expected the state of a run"):
        train_run(read_recipe(unfinished / "recipe.yaml"), unfinished)


@pytest.mark.parametrize(
    "line", ["5", "{}", '{"train": {}, "dev": {"score": []}}', '{"train": {}, "dev": {"f1": NaN}}']
)
def test_a_history_without_numbers_is_refused(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match="is damaged"):
        History(tmp_path, tensorboard=False, writes=True).lines()


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"short\n", b"0" * 31 + b"g\n"])
def test_a_list_of_seen_audio_that_would_hide_a_leak_is_refused(bench, unfinished, content):
    path = unfinished / "seen_audio.txt"
    path.write_bytes(path.read_bytes() + content)
    with pytest.raises(InputError, match="no digest of audio"):
        _ = open_run(unfinished / "model").seen_audio


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"inputs": 5},
        {"inputs": {"recipe": []}},
        {"noise": []},
        {"noise": {"kinds": [1], "file_digests": []}},
        {"noise": {"kinds": []}},
        {"state": "finished", "summary": {"dev": {"f1": "high"}, "best_epoch": 0}},
        {"state": "finished", "summary": {}, "inputs": {"recipe": {}}},
    ],
)
def test_a_record_that_is_none_of_ours_is_refused(unfinished, record):
    (unfinished / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="holds no record of a run"):
        open_run(unfinished)
