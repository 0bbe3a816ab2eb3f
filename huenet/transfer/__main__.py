import sys

from huenet.transfer.command import main

sys.exit(main())
