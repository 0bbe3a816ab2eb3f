import sys

from huenet.report.page import main

sys.exit(main())
