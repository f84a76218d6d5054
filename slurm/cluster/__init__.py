"""A real Slurm with accounting on one machine: for tests, and for trying things out.

    python -m slurm.cluster install | up | down | purge | status | env | kill-node N | start-node N | restart-controller

Everything runs on the loopback interface as the calling user, below one folder; nothing in /etc is touched, and only
`install` needs root. Tried with Slurm 22.05 as Debian 12 packages it.
"""
