"""The same clips through every runner: do they answer alike?"""
