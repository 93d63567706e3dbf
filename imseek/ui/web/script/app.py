"""What Streamlit runs for each page and each change on it. It lies alone: Streamlit puts its folder on ``sys.path``."""

from imseek.ui.web.shell import show

show()
