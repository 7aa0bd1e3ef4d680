"""Faults that kills, full disks and Ctrl-C found and that are mended, each with the test that keeps it so."""

_WRITING = "tests/core/test_writing.py"
_RUN = "tests/core/training/test_run.py"
_STATE = "tests/core/training/test_state.py"
_HISTORY = "tests/core/training/test_history.py"
_PLAN = "tests/core/corpus/test_mixture_plan.py"
_DISK = "tests/cli/test_full_disk.py"
_INTERRUPT = "tests/cli/test_interrupt.py"

_FOUND = (
    (
        "a FLAC file whose end did not fit on the disk was renamed as whole",
        _WRITING,
        "test_audio_on_a_full_disk_is_never_taken_for_whole",
    ),
    ("a WAV file held the date, so no two were alike", _WRITING, "test_a_wav_holds_no_date"),
    ("files half written by killed processes stayed for ever", _WRITING, "test_leftovers_go_and_nothing_else"),
    ("two processes could work in one folder", _WRITING, "test_one_process_holds_a_folder_until_it_is_killed"),
    (
        "a folder with half a run.json could not be gone on with",
        _RUN,
        "test_killed_before_its_first_file_was_whole_it_begins",
    ),
    (
        "a removal cut short left a finished run without its model",
        _RUN,
        "test_a_removal_cut_short_is_not_taken_for_a_run",
    ),
    ("leftovers stayed in run and model folders", _RUN, "test_tidying_removes_what_killed_processes_left"),
    (
        "state saved twice at one update was written over the state that was valid",
        _STATE,
        "test_a_save_that_finds_no_room_leaves_the_state_before",
    ),
    (
        "tensors of the state before, and the safetensors library's own leftovers, stayed",
        _STATE,
        "test_tidying_removes_what_a_killed_save_left",
    ),
    (
        "tensors could be read by their owner alone",
        _STATE,
        "test_others_may_read_what_they_may_read_elsewhere",
    ),
    ("a damaged state.json was a traceback", _STATE, "test_a_damaged_state_is_named"),
    ("damaged metrics.jsonl was a traceback", _HISTORY, "test_damage_is_named"),
    ("TensorBoard showed epochs that were done again twice", _HISTORY, "test_tensorboard_shows_every_epoch_once"),
    (
        "mix-noise --overwrite, killed, left a manifest of files that were gone",
        _PLAN,
        "test_a_deletion_cut_short_leaves_no_manifest",
    ),
    (
        "on a full disk mix-noise listed every other utterance as failed and wrote a short manifest",
        _DISK,
        "test_with_room_again_the_same_command_goes_on_to_the_same_bytes",
    ),
    (
        "on a full disk enhance tried every other file",
        _DISK,
        "test_of_many_files_to_enhance_none_is_tried_after_the_disk_is_full",
    ),
    ("an evaluation that was interrupted began anew", _INTERRUPT, "test_an_evaluation_goes_on"),
    (
        "Ctrl-C while modules were loaded came out as a broken installation, or as nothing; after it, going on was "
        "promised where nothing is kept",
        _INTERRUPT,
        "test_one_line_and_130",
    ),
)

FAULTS_MENDED = [{"fault": fault, "test": f"{file}::{name}"} for fault, file, name in _FOUND]
