(* bench/ocaml/ours_peer.ml - Xlchild.start and events; --batch: start_many

   And, with --callback, the price of one callback: the same children, each of
   whose ends is reported to a closure 200 times more, against not at all. The
   least of ten runs of each: what disturbs a run only ever adds to it. *)

let batch = ref 0
let stall = ref false
let callback = ref false
let evenables = 200

let expect_zero = function
  | Xlchild.Exited { ended = { status = Status st; _ }; _ } ->
      Timing.expect_zero st
  | _ -> failwith "not the end of a child"

let take ctx =
  let events = Xlchild.wait_many ctx in
  List.iter expect_zero events;
  List.length events

let one_by_one ctx command (clock : Timing.clock) =
  let in_flight = ref 0 in
  let rec fill () =
    if !in_flight < !Timing.concurrency && Timing.take clock then begin
      ignore (Xlchild.start ~report:(Event 0) ctx command);
      incr in_flight;
      fill ()
    end
  in
  fill ();
  while !in_flight > 0 do
    in_flight := !in_flight - take ctx;
    fill ()
  done

(* At most two batches in flight. *)
let in_batches ctx command (clock : Timing.clock) =
  let in_flight = ref 0 in
  let rec entries n =
    if n > 0 && Timing.take clock then
      (command, Xlchild.Event 0) :: entries (n - 1)
    else []
  in
  let rec fill () =
    if !in_flight <= !batch then
      match entries !batch with
      | [] -> ()
      | some ->
          List.iter
            (function Ok _ -> () | Error e -> raise (Xlchild.Error e))
            (Xlchild.start_many ctx some);
          in_flight := !in_flight + List.length some;
          fill ()
  in
  fill ();
  while !in_flight > 0 do
    in_flight := !in_flight - take ctx;
    fill ()
  done

let price_of_callback ctx command =
  let calls = ref 0 in
  Xlchild.on_events ~occurred:(fun _ -> incr calls) ctx;
  let run n =
    let before = Unix.gettimeofday () in
    for _ = 1 to n do
      ignore (Xlchild.Child.wait (Xlchild.start ctx command))
    done;
    Unix.gettimeofday () -. before
  in
  let n = 10 and times = 10 in
  let least () =
    List.fold_left min infinity (List.init times (fun _ -> run n))
  in
  ignore (run n);
  let without = least () in
  let made =
    List.init evenables (fun tag -> Xlchild.evenable_exit ~tag ctx)
  in
  ignore (run 1);
  calls := 0;
  let took = least () in
  List.iter Xlchild.evdisable made;
  if !calls <> times * n * evenables then failwith "callbacks are missing";
  Printf.printf "{\"peer\": \"callback\", \"callback_us\": %.4f}\n"
    ((took -. without) *. 1e6 /. float_of_int (n * evenables))

let () =
  Timing.parse
    ~more:
      [ ("--batch", Arg.Set_int batch, "N start so many with one call");
        ("--callback", Arg.Set callback, " the price of a callback");
        ("--stall", Arg.Set stall, " what another thread feels") ]
    ();
  Xlchild.with_context @@ fun ctx ->
  let command = Xlchild.command !Timing.child [] in
  if !callback then price_of_callback ctx command
  else if !batch > 0 then begin
    Xlchild.set_starters ctx 2;
    Timing.measure "xlchild-batch" (in_batches ctx command)
  end
  else
    (if !stall then Stall.measure else Timing.measure)
      "xlchild" (one_by_one ctx command)
