"""The report's section on what the language model adds to the final list, slice by slice."""

from typing import Any

from evaluation.report.report_parts import Part, Table, text

Json = dict[str, Any]  # Any: plain JSON values


def llm_gain_parts(share: Json) -> list[Part]:
    """Differences on valid of the final list with the language model and without it; `share`: metrics' `llm_adds`."""
    gains: Json = share["valid_slices"]
    metrics = list(next(iter(gains.values())))
    rows = [[label, *(_told(gain[metric]) for metric in metrics)] for label, gain in gains.items()]
    return [
        text(
            "On valid, paired by user: the final list with the language model at the weight that is best on the other "
            "half of the users, less the list without it. Of many slices one stands out by chance."
        ),
        Table(["slice", *metrics], rows),
    ]


def _told(gain: Json) -> str:
    low, high = gain["ci95"]
    return f"{gain['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
