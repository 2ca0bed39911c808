(* xlchild_forkhelpers_mtime.ml - Forkhelpers with timeouts of Mtime.Span.t

   All the work is in xlchild_forkhelpers.ml. *)

module type Tracer = Xlchild_forkhelpers.Tracer

module Timeout = struct
  type t = Mtime.Span.t

  (* As signed as it comes: what is beyond 292 years is no timeout. *)
  let seconds span = Int64.to_float (Mtime.Span.to_uint64_ns span) *. 1e-9
end

module Make = Xlchild_forkhelpers.Make_for (Timeout)
include Make (Xlchild_forkhelpers.No_tracer)
