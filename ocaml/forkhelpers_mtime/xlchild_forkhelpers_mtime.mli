(** What xapi's daemons ask of their fork server, as its [Forkhelpers] is today:
    [timeout] is an [Mtime.Span.t], and there is a [tracing].

    Everything else, and what commands find, is as in [Xlchild_forkhelpers]:
    types and exceptions are the same. Without a tracer, by the module's name
    alone:
    {[
      module Forkhelpers = Xlchild_forkhelpers_mtime
    ]}
    With one, by a line that says how it makes spans:
    {[
      module Forkhelpers = Xlchild_forkhelpers_mtime.Make (struct
        type span = unit

        let with_span ?parent ~name f = ignore name; f parent
        let environment () = []
      end)
    ]} *)

module type Tracer = Xlchild_forkhelpers.Tracer

include
  Xlchild_forkhelpers.S
    with type span = Xlchild_forkhelpers.No_tracer.span
     and type timeout = Mtime.Span.t

module Make (Tracer : Tracer) :
  Xlchild_forkhelpers.S
    with type span = Tracer.span
     and type timeout = Mtime.Span.t
(** The operations with this tracer: [tracing] is a span of its. *)
