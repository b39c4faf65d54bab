"""Regression of learning: trains a fixed matrix and compares its curves with stored baselines (see rule.py)."""
