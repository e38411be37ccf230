"""Keep the flags of locks in step with the locks, at both ends of every hook.

This module only registers callbacks. The flags themselves, and the promises about
them, are in charms.coordinator, which is imported first: its instance therefore
settles the grants of this hook before the flags are written.
"""

from charmhelpers.core import hookenv

import charms.coordinator

# Discovery can import one file under two module names, and a second registration would
# do everything twice. charms.coordinator is only ever imported under its own name.
if not charms.coordinator.callbacks_registered:
    charms.coordinator.callbacks_registered = True
    hookenv.atstart(charms.coordinator.publish_flags)
    # Registered while modules are imported, so that it runs after charms.reactive has
    # stopped tracing: until then each flag change costs a juju-log process.
    hookenv.atexit(charms.coordinator.clear_granted_flags)
    hookenv.atexit(charms.coordinator.keep_agent)
    hookenv.atexit(charms.coordinator.show_trouble)
    hookenv.atexit(charms.coordinator.ask_related)
