"""The whole bridge on the local stack: the real template, the real functions, real HTTP."""
