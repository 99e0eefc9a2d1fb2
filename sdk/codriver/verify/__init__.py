"""Does a bundle prove itself, and in time?"""
