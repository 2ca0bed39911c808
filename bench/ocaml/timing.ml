(* bench/ocaml/timing.ml - options and figures of the OCaml peers

   Used by unix_peer.ml, lwt_peer.ml, ours_*.ml and stall.ml, each a program that is run
   by bench/run.py with plan_ocaml.py and prints one line of JSON. *)

let children = ref 2000
let concurrency = ref 16
let for_ms = ref 0
let child = ref "build/bench/child"
let heap = ref 0

let parse ?(more = []) () =
  Arg.parse
    (more
    @ [ ("--children", Arg.Set_int children, "N how many to start and reap");
        ("--concurrency", Arg.Set_int concurrency, "N at a time");
        ("--for-ms", Arg.Set_int for_ms, "N stop starting after so long");
        ("--child", Arg.Set_string child, "PATH the program to start");
        ("--heap", Arg.Set_int heap, "MiB of OCaml heap beside it") ])
    (fun word -> raise (Arg.Bad word))
    "one way of starting and reaping children from OCaml"

(* When to stop starting: after so many, or so long. *)
type clock = { mutable left : int; until : float; mutable started : int }

let clock ?(for_ms = 0) children =
  let until =
    if for_ms = 0 then infinity
    else Unix.gettimeofday () +. (float_of_int for_ms /. 1000.)
  in
  { left = children; until; started = 0 }

let take clock =
  if clock.left > 0 && Unix.gettimeofday () < clock.until then begin
    clock.left <- clock.left - 1;
    clock.started <- clock.started + 1;
    true
  end
  else false

let expect_zero = function
  | Unix.WEXITED 0 -> ()
  | _ -> failwith "a child did not end with 0"

(* [run clock] starts and reaps until the clock says so: once to warm up and
   once for the figures. *)
let measure_with ~version name run =
  let ballast = Array.init !heap (fun _ -> Bytes.make (1 lsl 20) 'x') in
  run (clock 20);
  let clock = clock ~for_ms:!for_ms !children in
  let before = Unix.gettimeofday () in
  run clock;
  let took = Unix.gettimeofday () -. before in
  ignore (Sys.opaque_identity ballast);
  Printf.printf
    "{\"peer\": \"%s\", \"version\": \"%sOCaml %s\", \"us_per_child\": %.3f, \
     \"reaped\": %d}\n"
    name
    (if version = "" then "" else version ^ ", ")
    Sys.ocaml_version
    (took *. 1e6 /. float_of_int clock.started)
    clock.started

let measure name run = measure_with ~version:"" name run
