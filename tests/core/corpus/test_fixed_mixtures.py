"""Fixed mixtures: samples by the definition, stored scores by our names, and tables that cannot be what they say."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from sertool.core.corpus.fixed_mixtures import mixture_of, read_fixed_mixtures
from sertool.core.corpus.mixing import measure_snr
from sertool.core.errors import InputError
from sertool.core.metrics.speech import speech_scores

RATE = 16_000
CLIP = (0.1 * np.random.default_rng(0).standard_normal(1000)).astype(np.float32)
NOISE = (0.2 * np.random.default_rng(1).standard_normal(300)).astype(np.float32)
NOISE_GAIN, GAIN, OFFSET = 0.25, 0.5, 120


def _noise_at(offset):
    """The noise from its offset on, round and round, by hand."""
    return np.array([NOISE[(offset + sample) % len(NOISE)] for sample in range(len(CLIP))], np.float64)


@pytest.fixture
def table(tmp_path):
    """`table(**columns)`: a table two folders below its audio, one row, with some columns other than they should be."""
    for name, samples in (("speech/clip.wav", CLIP), ("noise/hum/n.wav", NOISE), ("noise/hum/silent.wav", 0 * NOISE)):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "data" / name, samples, RATE, subtype="FLOAT")
    snr_db = measure_snr(CLIP + NOISE_GAIN * _noise_at(OFFSET), CLIP.astype(np.float64))
    row = {"clip": "speech/clip.wav", "noise": "noise/hum/n.wav", "noise_offset_samples": OFFSET}
    row |= {"snr_db": round(snr_db, 2), "noise_gain": NOISE_GAIN, "gain": GAIN}

    def write(**columns):
        path = tmp_path / "data" / "tables" / "of" / "mixtures.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        changed = {name: value for name, value in (row | columns).items() if value is not ...}
        pd.DataFrame([changed]).to_csv(path, index=False)
        return path

    return write


def test_the_samples_are_those_of_the_definition(table, tmp_path):
    mixtures = read_fixed_mixtures(table())
    assert len(mixtures) == 1 and mixtures.folder == tmp_path / "data"
    noisy, clean = mixture_of(mixtures.rows[0])
    assert noisy.dtype == clean.dtype == np.float32
    assert np.abs(clean - GAIN * CLIP).max() < 1e-8
    assert np.abs(noisy - GAIN * (CLIP + NOISE_GAIN * _noise_at(OFFSET))).max() < 1e-7
    assert mixtures.rows[0].noise_kind == "hum"


def test_scores_are_stored_by_system_and_measure_under_our_names(table):
    scores = {"unprocessed_pesq": 1.5, "unprocessed_sisdr": -0.25, "some_net_stoi": 0.8, "some_net_si_sdr": None}
    stored = read_fixed_mixtures(table(**scores, remark="a_stoi")).stored
    assert {system: list(measures) for system, measures in stored.items()} == {
        "unprocessed": ["pesq_wb", "si_sdr"],
        "some_net": ["stoi", "si_sdr"],
    }
    assert stored["unprocessed"]["si_sdr"].tolist() == [-0.25]
    assert np.isnan(stored["some_net"]["si_sdr"]).tolist() == [True]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"gain": ...}, "has no column 'gain', but 'clip'"),
        ({"gain": None}, "row 1: 'gain' is ''; expected a finite number"),
        ({"noise_gain": "nan"}, "row 1: 'noise_gain' is"),
        ({"noise_gain": 0}, "row 1: noise_gain is 0; expected a factor above 0"),
        ({"gain": "inf"}, "row 1: 'gain' is 'inf'"),
        ({"snr_db": "loud"}, "row 1: 'snr_db' is 'loud'"),
        ({"noise_offset_samples": -1}, "noise_offset_samples is -1; expected a whole number"),
        ({"noise_offset_samples": 1.5}, "noise_offset_samples is 1.5; expected a whole number"),
        ({"clip": None}, "row 1: has no 'clip'"),
        ({"clip": "../clip.wav"}, "row 1: 'clip' is '../clip.wav'; expected a path beneath"),
        ({"clip": "speech/none.wav"}, "there is no speech/none.wav, neither from the table's folder nor"),
        ({"noise": "noise/none.wav"}, "noise/none.wav; expected every clip and noise it names"),
        ({"x_pesq": 1.0, "x_pesq_wb": 1.0}, "has 'x_pesq_wb' and the same measure by another name"),
        ({"x_pesq": "good"}, "row 1: 'x_pesq' is 'good'"),
    ],
)
def test_a_table_that_is_none_is_refused(table, columns, found):
    with pytest.raises(InputError) as caught:
        read_fixed_mixtures(table(**columns))
    assert found in str(caught.value)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16_000, 2)])
def test_audio_in_other_samples_is_refused(table, tmp_path, rate, channels):
    path = table()
    soundfile.write(tmp_path / "data/noise/hum/n.wav", np.tile(NOISE[:, None], channels), rate)
    with pytest.raises(InputError, match=f"has {channels} channels at {rate} Hz; expected one at 16000 Hz"):
        read_fixed_mixtures(path)


def test_samples_of_another_snr_than_the_tables_are_refused(table):
    with pytest.raises(InputError, match=r"the samples have an SNR of .* dB; expected 30 dB as the table says"):
        mixture_of(read_fixed_mixtures(table(snr_db=30)).rows[0])
    with pytest.raises(InputError, match="the noise is silent; expected"):
        mixture_of(read_fixed_mixtures(table(noise="noise/hum/silent.wav")).rows[0])


def test_the_stored_scores_of_real_mixtures_come_out_again(shared_data):
    mixtures = read_fixed_mixtures(shared_data / "reference" / "mixtures.csv")
    assert len(mixtures) == 80
    # All 80 lie within these bounds as well; how the table rounds its gains makes the most of them.
    for place in (0, 27, 79):
        noisy, clean = mixture_of(mixtures.rows[place])
        assert measure_snr(noisy, clean) == pytest.approx(mixtures.rows[place].snr_db, abs=1e-3)
        found = speech_scores(clean, noisy, measures=("pesq_wb", "stoi", "si_sdr"))
        for measure, tolerance in (("pesq_wb", 2e-3), ("stoi", 1e-4), ("si_sdr", 6e-3)):
            stored = mixtures.stored["unprocessed"][measure][place]
            assert found[measure] == pytest.approx(stored, abs=tolerance), (place, measure)
