"""Wires: how does each provider write what the contracts say neutrally?"""
