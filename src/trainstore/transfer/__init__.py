"""Between stores: what one holds is brought into another, back and forth, without loss.

`methods` is what a store offers. `sources` opens the store that is read, of which nothing is ever changed; `merging`
says which runs are brought, `copying` brings those that the target lacks, `joining` those that both have.
"""

from trainstore.transfer.reports import Conflict, Merged, RunKey

__all__ = ["Conflict", "Merged", "RunKey"]
