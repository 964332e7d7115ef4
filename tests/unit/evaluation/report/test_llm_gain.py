"""The section on what the language model adds: a row for every slice, an interval for every metric."""

from evaluation.report.llm_gain import llm_gain_parts
from evaluation.report.report_parts import Table


def test_every_slice_has_a_row_with_its_intervals() -> None:
    def gain(mean: float) -> dict[str, object]:
        return {"difference": mean, "ci95": [mean - 0.01, mean + 0.02]}

    slices = {label: {"hr@10": gain(mean), "mrr": gain(mean / 2)} for label, mean in (("all", 0.004), ("cold", -0.03))}
    _, table = llm_gain_parts({"valid_slices": slices})
    assert isinstance(table, Table)
    assert table.header == ["slice", "hr@10", "mrr"]
    assert table.rows == [
        ["all", "+0.0040 [-0.0060, +0.0240]", "+0.0020 [-0.0080, +0.0220]"],
        ["cold", "-0.0300 [-0.0400, -0.0100]", "-0.0150 [-0.0250, +0.0050]"],
    ]
