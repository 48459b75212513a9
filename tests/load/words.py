"""Lists of names on the command line."""

import argparse


def words(known):
    """For the `type` of an option: names of these, with commas between them."""
    def parse(text):
        chosen = text.split(",")
        unknown = [word for word in chosen if word not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are: "
                                             f"{' '.join(known)}")
        return chosen
    return parse
