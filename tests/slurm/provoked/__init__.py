"""What can happen to a sweep, family by family; in this order in the table."""

from provoked import fault, preemption, time_limits, nodes, jobs, sends  # noqa: F401, I001 the order is the table's
