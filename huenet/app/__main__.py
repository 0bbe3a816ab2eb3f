import sys

from huenet.app.command import main

sys.exit(main())
