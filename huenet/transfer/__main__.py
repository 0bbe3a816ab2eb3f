import sys

from huenet.transfer.recoloring import main

sys.exit(main())
