"""Composite measures CSIG, CBAK and COVL: what listeners would say of speech, background and the whole.

Regressions of mean opinion scores on simpler measures (Hu & Loizou, IEEE TASLP 2008). What goes in for PESQ is PESQ-WB
(ITU-T P.862.2), as is current practice at 16 kHz; the regressions were fitted with narrow-band PESQ.
"""

COMPOSITES = ("csig", "cbak", "covl")


def composite(pesq_wb: float, llr: float, wss: float, segmental_snr_db: float) -> dict[str, float]:
    """Return the three composite measures, each limited to 1 to 5.

    Args:
        pesq_wb: PESQ-WB, as MOS-LQO.
        llr: log-likelihood ratio, mean over the best 95 % of frames.
        wss: weighted spectral slope distance, mean over the best 95 % of frames.
        segmental_snr_db: segmental SNR in dB.

    Returns:
        `csig` (signal distortion), `cbak` (background intrusiveness), `covl` (overall quality).
    """
    scores = {
        "csig": 3.093 - 1.029 * llr + 0.603 * pesq_wb - 0.009 * wss,
        "cbak": 1.634 + 0.478 * pesq_wb - 0.007 * wss + 0.063 * segmental_snr_db,
        "covl": 1.594 + 0.805 * pesq_wb - 0.512 * llr - 0.007 * wss,
    }
    return {name: min(max(score, 1.0), 5.0) for name, score in scores.items()}
