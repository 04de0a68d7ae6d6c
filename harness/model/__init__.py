"""The frozen values that every other module passes around: what was asked, what happened, what it means.

Times ending in `_at` are seconds since the epoch, durations end in `_s`. A time says whose clock it is:
*ours* is the dispatcher's, *node's* the worker's.
"""
