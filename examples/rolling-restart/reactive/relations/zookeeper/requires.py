"""Nothing for handlers to call: the coordinator reads the relation `zookeeper` by itself."""

from charms.reactive.relations import RelationFactory


class NoEndpoint(RelationFactory):
    """Stands where charms.reactive looks for what speaks for the relation.

    Without it charms.reactive writes an error to the log in every hook. A charm that has
    uses of its own for ZooKeeper includes `interface:zookeeper` instead.
    """

    @classmethod
    def from_name(cls, relation_name: str) -> None:
        """Answer that there is no endpoint, whatever the relation is called."""

    @classmethod
    def from_flag(cls, flag: str) -> None:
        """Answer that no flag carries an endpoint."""
