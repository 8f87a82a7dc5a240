<%@ WebHandler Class="samples::Accept, answers" %>
