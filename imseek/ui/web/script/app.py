"""Script that Streamlit runs on each page and change.

It lies in a folder of its own, which Streamlit puts on ``sys.path``.
"""

from imseek.ui.web.shell import show

show()
