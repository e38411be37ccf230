"""Nothing for handlers to call: only the coordinator reads and writes the peer relation."""

from charms.reactive.relations import RelationFactory


class NoEndpoint(RelationFactory):
    """Stands where charms.reactive looks for what speaks for the relation `coordinator`.

    Without it charms.reactive writes an error to the log in every hook. An Endpoint would
    read the data of every unit in every hook of the relation.
    """

    @classmethod
    def from_name(cls, relation_name: str) -> None:
        """Answer that there is no endpoint, whatever the relation is called."""

    @classmethod
    def from_flag(cls, flag: str) -> None:
        """Answer that the flags of locks carry no endpoint."""
