(* life.ml - a daemon of one's own: supervises, says what happens, is killed

   life.exe FOLDER NAME... adds those services of Life_service and prints a line
   for each event. It closes its supervisor on SIGTERM and SIGINT, and leaves
   the services running on SIGHUP. Run by test_adoption.ml. *)

open Xlchild_supervisor

let print text =
  print_string (text ^ "\n");
  flush stdout

let () =
  let folder = Sys.argv.(1) in
  let names = List.tl (List.tl (Array.to_list Sys.argv)) in
  let wake_r, wake_w = Unix.pipe ~cloexec:true () in
  let leave = Atomic.make false in
  let handle signal =
    Sys.set_signal signal
      (Signal_handle
         (fun signal ->
           if signal = Sys.sighup then Atomic.set leave true;
           ignore (Unix.write_substring wake_w "x" 0 1)))
  in
  List.iter handle Sys.[ sigterm; sigint; sighup ];
  let t =
    create ~state_folder:folder
      ~on_event:(fun event -> print (event_text event))
      ()
  in
  List.iter (fun name -> ignore (add t (Life_service.spec folder name))) names;
  let rec wait () = if Xlchild.poll [ wake_r ] = [] then wait () in
  wait ();
  close t ~leave:(Atomic.get leave);
  print "closed"
