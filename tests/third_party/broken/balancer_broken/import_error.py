"""A plugin whose author forgot to declare a dependency."""

import a_module_that_nobody_installed  # noqa: F401
