(* bench/ocaml/unix_peer.ml - Unix.create_process and waitpid *)

let run (clock : Timing.clock) =
  let argv = [| !Timing.child |] in
  let in_flight = ref 0 in
  let rec fill () =
    if !in_flight < !Timing.concurrency && Timing.take clock then begin
      ignore
        (Unix.create_process argv.(0) argv Unix.stdin Unix.stdout Unix.stderr);
      incr in_flight;
      fill ()
    end
  in
  fill ();
  while !in_flight > 0 do
    Timing.expect_zero (snd (Unix.waitpid [] (-1)));
    decr in_flight;
    fill ()
  done

let () =
  let stall = ref false in
  Timing.parse
    ~more:[ ("--stall", Arg.Set stall, " what another thread feels") ]
    ();
  (if !stall then Stall.measure else Timing.measure) "unix" run
