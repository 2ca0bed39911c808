(* sweeping.ml - an exception of a signal handler's, at every point

   It can come at every allocation of OCaml code. [sweep] runs an operation again
   and again, and raises at the first of them, the second, and so on, until none
   is left: by the sampler of Gc.Memprof, which runs where handlers do. Used by
   test_raising*.ml, and by the suite of Lwt. *)

let check_bool = Alcotest.(check bool)

exception Raised

let point = ref 0
let reached = ref 0
let fired = ref false
let armed = ref false
let sweeping = Thread.id (Thread.self ())

let hit _ =
  if !armed && Thread.id (Thread.self ()) = sweeping then begin
    incr reached;
    if !reached = !point then begin
      fired := true;
      armed := false;
      raise Raised
    end
  end;
  None

let tracker : (unit, unit) Gc.Memprof.tracker =
  { Gc.Memprof.null_tracker with alloc_minor = hit; alloc_major = hit }

let raising_at k f =
  point := k;
  reached := 0;
  fired := false;
  ignore (Gc.Memprof.start ~sampling_rate:1. ~callstack_size:0 tracker);
  let run () =
    armed := true;
    let x = f () in
    armed := false;
    x
  in
  let answer = match run () with x -> Some x | exception Raised -> None in
  armed := false;
  Gc.Memprof.stop ();
  answer

(* [before] makes what [f] is given; [after] is told both, and the answer. *)
let sweep ?(step = 1) ~before ~after f =
  (* with other heaps fewer will do *)
  let step = if Sys.getenv_opt "OCAMLRUNPARAM" = None then step else 9 * step in
  let rec at k =
    let x = before () in
    let answer = raising_at k (fun () -> f x) in
    after x answer;
    if !fired then at (k + step) else k
  in
  let points = at 1 in
  check_bool "there were some" true (points > 1)
