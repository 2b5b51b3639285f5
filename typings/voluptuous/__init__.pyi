# Home Assistant serves its own schema library under this name at run time.
from probatio import *
