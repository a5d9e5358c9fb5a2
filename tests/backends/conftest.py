"""What pytest must know of this folder."""

#: A package of its own, which test_third_party.py installs and tests in another process.
collect_ignore = ["third_party"]
