(* bench/ocaml/stall.ml - what other threads feel of the starts

   [measure name run]: a thread that wants to wake every half millisecond notes
   how late it comes to run, while [run] starts children from another. Used by
   unix_peer.ml and ours_peer.ml with --stall. *)

let period = 0.0005

(* Looks at least once: where the starts keep it from running at all, that one
   time is as late as they took. *)
let rec watch over late =
  let before = Unix.gettimeofday () in
  Thread.delay period;
  late := (Unix.gettimeofday () -. before -. period) :: !late;
  if not !over then watch over late

(* The thread has begun to watch when this returns. *)
let watching over late =
  let began = Event.new_channel () in
  let thread =
    Thread.create
      (fun () ->
        Event.sync (Event.send began ());
        watch over late)
      ()
  in
  Event.sync (Event.receive began);
  thread

let measure name run =
  let over = ref false and late = ref [] in
  run (Timing.clock 20);
  let thread = watching over late in
  run (Timing.clock !Timing.children);
  over := true;
  Thread.join thread;
  let sorted = Array.of_list !late in
  Array.sort compare sorted;
  let n = Array.length sorted in
  let at part = 1000. *. sorted.(min (n - 1) (n * part / 1000)) in
  Printf.printf
    "{\"peer\": \"%s\", \"wakes\": %d, \"late_p50_ms\": %.3f, \
     \"late_p99_ms\": %.3f, \"late_max_ms\": %.3f}\n"
    name n (at 500) (at 990) (at 1000)
