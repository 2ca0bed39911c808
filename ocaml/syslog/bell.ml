(* bell.ml - waiting for another thread, as long as no handler raises

   Called by the supervisor, for whoever waits for its thread. Look at the count
   first, then at what is waited for, then wait: nothing is missed. *)

type t

external make : unit -> t = "xlchild_ml_bell"
external count : t -> int = "xlchild_ml_bell_count" [@@noalloc]
external ring : t -> unit = "xlchild_ml_bell_ring" [@@noalloc]
external wait_for : t -> int -> int -> unit = "xlchild_ml_bell_wait"

(* The period of OCaml's own tick: for a signal that another thread took. *)
let period = 0.05

let wait ?(until = infinity) t count =
  let left = min period (until -. Xlchild.now ()) in
  if left > 0. then wait_for t count (int_of_float (ceil (left *. 1e6)))
