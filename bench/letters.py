"""Letters that a text may have which ends in a script that a shell reads: whoever wrote it, it says nothing to a shell.

Held wherever such a text comes from (a spec, a site file, a command line): no letter ends a line, and none, quoted,
means anything to a shell or to sbatch.
"""

from typing import Annotated

from msgspec import Meta

# `$` alone would let a line end stand behind a name
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.,:@+=-]+$(?!\n)",
        max_length=200,
        description="text of letters, digits and _ . , : @ + = - (at most 200)",
    ),
]
Expression = Annotated[  # of features, or of nodes
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.,:@+=&|*()\[\]-]+$(?!\n)",
        max_length=200,
        description="text of letters, digits and _ . , : @ + = - & | * ( ) [ ] (at most 200)",
    ),
]
Text = Annotated[  # sbatch takes a backslash for itself, whatever quotes are around it
    str,
    Meta(
        pattern=r"^[^\x00-\x1f\x7f\\]*$(?!\n)",
        max_length=200,
        description="one line of text without backslash (at most 200)",
    ),
]
