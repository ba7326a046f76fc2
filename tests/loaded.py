"""Loads all that a run of pytest inside this process loads, before it does.

pytester drops what such a run has loaded anew. Arrow and scipy cannot be loaded twice, and a class
that is, is two.
"""

from __future__ import annotations

import importlib
import pkgutil

import scipy.stats  # noqa: F401
import vcr.cassette  # noqa: F401
import yaml  # noqa: F401

import looplet
import looplet.evals
import looplet.skills

for package in (looplet, looplet.skills):
    for public in package.__all__:
        getattr(package, public)
for found in pkgutil.iter_modules(looplet.evals.__path__, "looplet.evals."):
    importlib.import_module(found.name)
