"""Between stores: what one holds is brought into another, back and forth, without loss.

`sources` opens the store that is read, of which nothing is ever changed.
"""
