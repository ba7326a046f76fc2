"""A programmer in a folder: bash, read, write, edit, glob, grep, think, done."""

from looplet.examples.coding_agent.agent import ask, build, is_safe, permissions
from looplet.examples.coding_agent.cli import main

__all__ = ["ask", "build", "is_safe", "main", "permissions"]
