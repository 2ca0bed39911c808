"""A program: services_lives.py SCENARIO FOLDER

Run by test_services_lives.py, under the helper reaper (an init that reaps
orphans at once). A scenario fails by an assertion.
"""
import sys

import lives_ends
import lives_keeper
import lives_moments

SCENARIOS = (lives_ends.SCENARIOS + lives_moments.SCENARIOS
             + lives_keeper.SCENARIOS)

if __name__ == "__main__":
    {one.__name__: one for one in SCENARIOS}[sys.argv[1]](sys.argv[2])
