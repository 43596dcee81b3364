"""The record beside a cluster's own audit log."""
