"""Load runs: what is done to the system, what is measured beside, and what that means.

k6 makes the calls (loadtest/scenarios/mix.js), machines measure themselves
(loadtest/sampler.py), a run becomes one JSON file, and everything else reads that file: verdict,
comparison, report, capacity.
"""
