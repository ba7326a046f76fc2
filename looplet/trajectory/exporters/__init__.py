"""Exporters: trajectories, in the formats of other tools. One module a format.

A format is a module with ``TARGET``, which `registry` names.
"""
