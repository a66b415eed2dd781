"""The table of faults that is kept, docs/results/faults.csv."""

from tests import fault_matrix


def test_the_table_has_every_fault_caught_and_named_and_no_alarm_at_a_control():
    """What is missing: python -m tests.fault_matrix."""
    rows = fault_matrix.read(fault_matrix.RESULTS.with_suffix(".csv"))
    assert list(rows) == [case.name for case in fault_matrix.cases()]
    assert [name for name, row in rows.items() if not (row.caught and row.named)] == []
