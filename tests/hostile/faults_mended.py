"""Faults that campaigns of hostile files found and that are mended, each with the test that keeps it so."""

_HERE = "tests/hostile/test_faults_mended.py"
_TABLES = "tests/core/corpus/test_tables.py"
_MANIFEST = "tests/core/corpus/test_manifest.py"
_RECIPE = "tests/core/training/test_recipe.py"
_CONFIG = "tests/core/models/test_config.py"
_SHARED = "tests/core/models/test_shared.py"
_CONSOLE = "tests/cli/test_console.py"

_FOUND = (
    (
        "wav",
        "a rate of 1 Hz: some thousand samples became hours as they were resampled",
        _HERE,
        "test_a_rate_no_recording_has_is_refused_before_anything_is_resampled",
    ),
    (
        "wav",
        "ten samples at 768 kHz, which are none at 16 kHz, with a share of the original: a traceback",
        _HERE,
        "test_a_few_samples_at_a_high_rate_are_enhanced_to_as_many",
    ),
    (
        "wav",
        "damaged GSM, which cannot be wound back: a traceback",
        _HERE,
        "test_gsm_that_cannot_be_wound_back_is_read_or_refused",
    ),
    (
        "wav",
        "float samples of 1e30: probabilities and speech of NaN",
        _HERE,
        "test_samples_beyond_all_measure_are_refused",
    ),
    (
        "flac",
        "a length the header does not tell: a traceback",
        _HERE,
        "test_flac_that_does_not_tell_its_length_is_read_to_its_end",
    ),
    (
        "flac",
        "20 kB of constant frames: a gigabyte, or minutes",
        _HERE,
        "test_a_few_kilobytes_of_flac_that_unpack_to_a_gigabyte_are_refused",
    ),
    (
        "flac",
        "a header that announces 2**36 samples: out of memory",
        _HERE,
        "test_a_header_that_announces_far_more_than_there_is_costs_no_memory",
    ),
    (
        "csv",
        "a pipe or a device among the audio: waited for without end",
        _HERE,
        "test_a_pipe_as_audio_is_refused_instead_of_waited_for",
    ),
    (
        "csv",
        "an endless file of /proc among the noise: hashed without end",
        _HERE,
        "test_an_empty_recording_has_no_digest",
    ),
    ("csv", "a pipe in the place of a table: waited for", _TABLES, "test_a_pipe_is_refused_instead_of_waited_for"),
    ("csv", "a NUL in a path: a traceback", _MANIFEST, "test_a_path_no_file_can_have_is_refused"),
    (
        "csv",
        "a folder in the place of a file name: a traceback",
        _MANIFEST,
        "test_a_file_name_without_a_name_is_refused",
    ),
    (
        "csv",
        "10 000 columns: 44 s, 100 000 an hour",
        _TABLES,
        "test_a_table_of_more_columns_than_anybody_has_is_refused",
    ),
    (
        "csv",
        "the one wrong number of a long column: searched row by row",
        _TABLES,
        "test_the_first_value_that_is_no_number_is_named_however_long_the_column",
    ),
    (
        "csv",
        "an infinite count of votes: a traceback where the report was written",
        _TABLES,
        "test_an_infinite_number_is_refused",
    ),
    (
        "csv",
        "--copy copied any file a table named, and an endless file of /proc without end",
        "tests/core/corpus/test_build.py",
        "test_only_audio_is_copied_whatever_a_table_names",
    ),
    (
        "csv",
        "control characters of a cell reached the terminal",
        _CONSOLE,
        "test_what_a_file_says_does_not_steer_the_terminal",
    ),
    (
        "csv",
        "a field of megabytes was quoted whole in an error",
        _CONSOLE,
        "test_a_message_that_quotes_a_giant_field_keeps_its_two_ends",
    ),
    (
        "parquet",
        "kilobytes that say one value millions of times: gigabytes",
        _TABLES,
        "test_a_few_kilobytes_that_say_one_value_a_million_times_are_refused",
    ),
    (
        "parquet",
        "what a file says of pandas was listened to: a traceback",
        _TABLES,
        "test_what_a_parquet_file_says_of_pandas_is_not_listened_to",
    ),
    (
        "parquet",
        "text that is no UTF-8: a traceback",
        _TABLES,
        "test_text_in_a_parquet_file_that_is_no_text_is_refused",
    ),
    (
        "yaml",
        "aliases that multiply: a message of a billion words",
        _RECIPE,
        "test_a_hostile_recipe_is_refused_in_one_short_line",
    ),
    (
        "yaml",
        "a number of 6000 digits, a ratio of 400, infinite seconds: tracebacks",
        _RECIPE,
        "test_a_hostile_recipe_is_refused_in_one_short_line",
    ),
    (
        "yaml",
        "a key written twice: the last one won without a word",
        _RECIPE,
        "test_a_hostile_recipe_is_refused_in_one_short_line",
    ),
    ("yaml", "sizes of a model beyond any machine: built", _CONFIG, "test_sizes_without_measure_are_refused"),
    (
        "config",
        "255 mel bands, some of which hear nothing: a warning of a library, with its path",
        _CONFIG,
        "test_every_mel_band_there_may_be_hears_something",
    ),
    (
        "config",
        "a category twice: probabilities that do not add up to 1",
        _CONFIG,
        "test_categories_that_could_not_be_told_apart_are_refused",
    ),
    (
        "config",
        "a size said twice: the last one won without a word",
        _SHARED,
        "test_a_configuration_that_says_a_size_twice_is_refused",
    ),
    (
        "safetensors",
        "weights that are NaN or infinite: scores of NaN",
        _SHARED,
        "test_weights_that_are_not_numbers_are_refused",
    ),
    (
        "safetensors",
        "weights of another type: taken without a word",
        _SHARED,
        "test_weights_of_another_type_are_refused",
    ),
    (
        "safetensors",
        "weights in disorder, each a number: scores and speech of NaN",
        _HERE,
        "test_weights_that_lead_to_no_number_give_no_prediction_no_speech_and_no_features",
    ),
    (
        "record",
        "counters of other types, or missing: a traceback",
        _HERE,
        "test_a_state_nobody_can_go_on_from_is_refused",
    ),
    ("record", "an optimizer of other weights: a traceback", _HERE, "test_an_optimizer_that_fits_no_weight_is_refused"),
    ("record", "a history without numbers: a traceback", _HERE, "test_a_history_without_numbers_is_refused"),
    (
        "record",
        "a damaged list of seen audio: a traceback, or a leak nobody sees",
        _HERE,
        "test_a_list_of_seen_audio_that_would_hide_a_leak_is_refused",
    ),
    ("record", "a run.json of another shape: a traceback", _HERE, "test_a_record_that_is_none_of_ours_is_refused"),
    (
        "journal",
        "a mix.json of another shape: a traceback",
        _HERE,
        "test_a_plan_of_mixtures_of_another_shape_is_refused",
    ),
    (
        "journal",
        "a mix.jsonl of another shape: a traceback, or files listed that are no mixtures",
        _HERE,
        "test_a_line_of_the_journal_that_is_none_of_ours_is_done_again",
    ),
    (
        "journal",
        "an SNR of NaN in the journal reached the manifest",
        _HERE,
        "test_an_snr_in_the_journal_that_is_no_number_is_measured_again",
    ),
    (
        "journal",
        "--overwrite would delete through a link that leads elsewhere",
        _HERE,
        "test_deleting_mixtures_follows_no_link_out_of_their_folder",
    ),
)

FAULTS_MENDED = [
    {"format": format_, "fault": fault, "test": f"{file}::{name}"} for format_, fault, file, name in _FOUND
]
