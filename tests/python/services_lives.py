"""A program: services_lives.py SCENARIO FOLDER

Run by test_services_lives.py, under the helper reaper (an init that reaps
orphans at once). A scenario fails by an assertion.
"""
import os
import sys

import lives_ends
import lives_keeper
import lives_moments
import soak_services


def random_moments(folder):
    """What `make soak-services` does for long."""
    print(soak_services.soak(folder, ends=200, seed=os.getpid()))


SCENARIOS = (lives_ends.SCENARIOS + lives_moments.SCENARIOS
             + lives_keeper.SCENARIOS + (random_moments,))

if __name__ == "__main__":
    {one.__name__: one for one in SCENARIOS}[sys.argv[1]](sys.argv[2])
