"""Experiments that train the trees' networks and compare what comes out; no framework here."""
